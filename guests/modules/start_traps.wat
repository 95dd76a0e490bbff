;; Dies of: an `unreachable` in the start function, while it is being instantiated.
(module
  (memory (export "memory") 1)
  (func $start
    unreachable)
  (start $start)
  (func (export "_start")))

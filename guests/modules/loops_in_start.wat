;; Dies of: nothing by itself: its start function loops for ever, so it is never instantiated.
(module
  (memory (export "memory") 1)
  (func $start
    (loop $again
      (br $again)))
  (start $start)
  (func (export "_start")))

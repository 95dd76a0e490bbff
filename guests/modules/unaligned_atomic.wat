;; Dies of: an atomic access at an address that is not aligned.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (i32.atomic.load (i32.const 1)))))

;; Dies of: an indirect call by an index beyond the end of the table.
(module
  (memory (export "memory") 1)
  (table 4 funcref)
  (func (export "_start")
    (call_indirect (i32.const 4))))

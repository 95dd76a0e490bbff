;; Dies of: an indirect call to an empty slot of the table.
(module
  (memory (export "memory") 1)
  (table 4 funcref)
  (func (export "_start")
    (call_indirect (i32.const 2))))

;; Dies of: an indirect call to a function of another type than the caller says.
(module
  (type $nothing (func))
  (memory (export "memory") 1)
  (table 1 funcref)
  (elem (i32.const 0) $square)
  (func $square (param i32) (result i32)
    (i32.mul (local.get 0) (local.get 0)))
  (func (export "_start")
    (call_indirect (type $nothing) (i32.const 0))))

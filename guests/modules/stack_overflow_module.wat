;; Dies of: a stack overflow, by recursion without end and without any memory.
(module
  (memory (export "memory") 1)
  (func $descend (param $depth i64) (result i64)
    (i64.add
      (call $descend (i64.add (local.get $depth) (i64.const 1)))
      (local.get $depth)))
  (func (export "_start")
    (drop (call $descend (i64.const 0)))))

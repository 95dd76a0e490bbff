;; Dies of: modules that together need more memory at the start than the limit allows.
(component
  (core module $half (memory 600))
  (core instance (instantiate $half))
  (core instance (instantiate $half))
  (core module $main (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))

;; Dies of: two modules whose memories fit into the limit one by one, and not together.
(component
  (core module $other (memory 1) (func $grow (drop (memory.grow (i32.const 600)))) (start $grow))
  (core instance (instantiate $other))
  (core module $main
    (memory 1)
    (func (export "run") (result i32) (drop (memory.grow (i32.const 600))) (i32.const 0)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))

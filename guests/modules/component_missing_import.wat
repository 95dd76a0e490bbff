;; Dies of: the import of an interface that nobody offers.
(component
  (import "wasi:http/outgoing-handler@0.2.4" (instance $http (export "handle" (func))))
  (core module $main (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))

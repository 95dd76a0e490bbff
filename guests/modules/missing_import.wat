;; Dies of: an import that no host offers, before any of its code runs.
(module
  (import "env" "launch_rockets" (func $launch_rockets))
  (memory (export "memory") 1)
  (func (export "_start")
    (call $launch_rockets)))

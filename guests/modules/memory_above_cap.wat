;; Dies of: a memory that is 2 GiB from the beginning, above any cap, before any of its code runs.
(module
  (memory (export "memory") 32768)
  (func (export "_start")))

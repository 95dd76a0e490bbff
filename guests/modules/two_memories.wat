;; Dies of: nothing by itself: it grows two memories in turn for ever, by 10 MiB at a time.
;; Refusals (-1) are ignored. A cap has to hold for the sum of both, not for each.
(module
  (memory $first (export "memory") 1)
  (memory $second (export "second") 1)
  (func (export "_start")
    (loop $again
      (drop (memory.grow $first (i32.const 160)))
      (drop (memory.grow $second (i32.const 160)))
      (br $again))))

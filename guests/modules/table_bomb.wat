;; Dies of: nothing by itself: it grows a table for ever, by a million entries at a time.
;; Refusals (-1) are ignored, so that it ends by a limit on time or on refusals alone.
(module
  (memory (export "memory") 1)
  (table $table 0 funcref)
  (func (export "_start")
    (loop $again
      (drop (table.grow $table (ref.null func) (i32.const 1000000)))
      (br $again))))

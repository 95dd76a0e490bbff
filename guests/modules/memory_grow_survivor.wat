;; Lives: grows its memory until it is refused with -1, and then returns as if nothing had been.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $again
      (br_if $again
        (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))))

;; Dies of: a load that begins inside its one page of memory and ends outside (at 0xfffd, 4 bytes).
(module
  (memory (export "memory") 1 1)
  (func (export "_start")
    (drop (i32.load (i32.const 0xfffd)))))

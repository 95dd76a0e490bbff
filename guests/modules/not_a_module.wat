;; Dies of: not being a module at all, before anything is compiled.
This file is named like the text of a module, but it is a letter.
Whoever reads it as a module should say so, and say where: in the second line.

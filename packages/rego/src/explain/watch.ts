/** Compiled into rules while explaining: tells the attempt which expression is reached. */
import type { Watch } from '../compile/body-compiler.ts'

export const compileWatch: Watch = (_expr, index) => ({
  kind: 'once',
  holds: (frame) => {
    frame.attempt?.reach(index, frame)
    return true
  },
})

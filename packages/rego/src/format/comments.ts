/** The comments of a module, handed out once each, in order. */
import type { Comment } from '../ast.ts'

export class CommentQueue {
  readonly #comments: readonly Comment[]
  #next = 0

  constructor(comments: readonly Comment[]) {
    this.#comments = comments
  }

  hasBefore(offset: number): boolean {
    const comment = this.#comments[this.#next]
    return comment !== undefined && comment.loc.offset < offset
  }

  takeBefore(offset: number): Comment[] {
    const taken: Comment[] = []
    while (this.hasBefore(offset)) taken.push(this.#comments[this.#next++] as Comment)
    return taken
  }

  /** The comment on the line that `offset` is in, when only punctuation stands between. */
  takeTrailing(offset: number, source: string): Comment | undefined {
    const comment = this.#comments[this.#next]
    if (comment === undefined || comment.loc.offset < offset) return undefined
    if (!/^[ \t,;]*$/.test(source.slice(offset, comment.loc.offset))) return undefined
    this.#next++
    return comment
  }
}

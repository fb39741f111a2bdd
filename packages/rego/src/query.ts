/** Which values of a query's expressions its results show: those that `opa eval` shows. */
import type { Expr, Local } from './compile/ir.ts'
import type { Slots } from './compile/scope.ts'
import type { Location } from './error.ts'

export interface QueryExpr {
  /** Holds the value; absent: the expression holds, so `true`. */
  readonly local: Local | undefined
  /** Where the expression stands in the query. */
  readonly loc: Location
}

/**
 * Binds the value of every plain term to a variable. A lone expression may be false and still be a result;
 * among several, or where it iterates, it must hold.
 */
export function captureValues(
  exprs: readonly Expr[],
  slots: Slots,
): { exprs: Expr[]; values: QueryExpr[] } {
  const captured: Expr[] = []
  const values: QueryExpr[] = []
  const must = exprs.length > 1
  for (const expr of exprs) {
    if (expr.kind !== 'test' || (expr.term.kind === 'call' && isVoid(expr))) {
      captured.push(expr)
      // One unification of literals may have become several.
      if (values.at(-1)?.loc !== expr.loc) values.push({ local: undefined, loc: expr.loc })
      continue
    }
    const local = slots.take('value')
    const holder = { kind: 'local', local, loc: expr.loc } as const
    captured.push({ ...expr, kind: 'unify', left: holder, right: expr.term })
    if (must || iterates(expr))
      captured.push({ kind: 'test', term: holder, with: [], loc: expr.loc })
    values.push({ local, loc: expr.loc })
  }
  return { exprs: captured, values }
}

function isVoid(expr: Expr): boolean {
  return (
    expr.kind === 'test' &&
    expr.term.kind === 'call' &&
    expr.term.callee.kind === 'builtin' &&
    expr.term.callee.builtin.variadic === true
  )
}

/** Whether a ref in the expression has a variable in it. */
function iterates(expr: Expr): boolean {
  if (expr.kind !== 'test' || expr.term.kind !== 'ref') return false
  return expr.term.path.some((part) => part.kind === 'local')
}

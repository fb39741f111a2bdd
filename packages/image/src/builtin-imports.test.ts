import assert from 'node:assert/strict'
import { test } from 'node:test'

import { takeBuiltinsDirectly } from './builtin-imports.ts'

test('takeBuiltinsDirectly() rewrites named, whole and namespace imports', () => {
  const code =
    'import{request as a,get}from"node:http";import b from"node:fs";import*as c from"node:os";import d,{join as e}from"node:path";f();'
  assert.equal(
    takeBuiltinsDirectly(code),
    'const{request:a,get}=process.getBuiltinModule("node:http");' +
      'const b=process.getBuiltinModule("node:fs");' +
      'const c=process.getBuiltinModule("node:os");' +
      'const d=process.getBuiltinModule("node:path");const{join:e}=process.getBuiltinModule("node:path");f();',
  )
})

test('takeBuiltinsDirectly() keeps imports of other files of the bundle, and goes on behind them', () => {
  assert.equal(
    takeBuiltinsDirectly(
      'import{a as b}from"./x-1.mjs";import"./y.mjs";import c from"node:fs";f();',
    ),
    'import{a as b}from"./x-1.mjs";import"./y.mjs";const c=process.getBuiltinModule("node:fs");f();',
  )
})

test('takeBuiltinsDirectly() leaves all else alone', () => {
  for (const code of [
    'import{a}from"elsewhere";',
    'f();import{a}from"node:http";',
    'const t=`import{a}from"node:http";`;',
    '',
  ])
    assert.equal(takeBuiltinsDirectly(code), code)
})

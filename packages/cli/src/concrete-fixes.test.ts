import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CloisterError, type ErrorDetails } from '@cloister/protocol/error'
import { concreteFixes } from './concrete-fixes.ts'

const RUN = {
  name: 'run',
  usage: 'run IMAGE [options] [-- ARG…]',
  positionals: ['registry.example/api:1.4'],
}

function fixes(code: 'workload.name-taken' | 'owner.secret-not-granted', details: ErrorDetails) {
  return concreteFixes(new CloisterError(code, details), RUN).toJSON().fix
}

describe('concreteFixes()', () => {
  test('takes names from the error', () => {
    assert.equal(fixes('workload.name-taken', { where: 'api' })[0], 'cloister rm api')
    assert.equal(
      fixes('owner.secret-not-granted', { where: 'default/secret/db' })[0],
      'cloister policy show default/secret/db',
    )
  })

  test('takes arguments from the command line', () => {
    const fix = ['cloister image inspect IMAGE', 'IMAGE must be signed']
    assert.deepEqual(fixes('workload.name-taken', { fix }), [
      'cloister image inspect registry.example/api:1.4',
      'IMAGE must be signed',
    ])
  })

  test('takes the one name of a command that takes several', () => {
    const fix = ['cloister vm stop NAME']
    const of = (...positionals: readonly string[]) =>
      concreteFixes(new CloisterError('vm.still-running', { fix }), {
        name: 'vm rm',
        usage: 'vm rm NAME… [--force]',
        positionals,
      }).toJSON().fix
    assert.deepEqual(of('web'), ['cloister vm stop web'])
    assert.deepEqual(of('web', 'db'), fix)
  })

  test('names the command itself', () => {
    const { fix } = concreteFixes(new CloisterError('cli.usage'), RUN).toJSON()
    assert.deepEqual(fix, ['cloister help run'])
  })

  test('puts nothing into a command that a shell would read in another way', () => {
    const error = new CloisterError('workload.name-taken', { where: 'a; reboot' })
    assert.equal(concreteFixes(error, { ...RUN, positionals: ['$(reboot)'] }), error)
  })
})

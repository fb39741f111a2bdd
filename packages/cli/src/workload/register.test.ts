import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { SecretList } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { planSecrets } from './register.ts'

const secret = (path: string, workload?: string): SecretList['secrets'][number] => ({
  path,
  version: 1,
  createdAt: 0,
  allowSimulated: true,
  release:
    workload === undefined
      ? null
      : ({
          workloads: [{ name: workload }],
        } as unknown as SecretList['secrets'][number]['release']),
})
const refuses = (code: string, run: () => unknown) => {
  assert.throws(run, (error) => error instanceof CloisterError && error.code === code)
}

describe('planSecrets()', () => {
  test('grants what the owner named and image keys by their place', () => {
    const secrets = [
      secret('default/secret/db'),
      secret('image-key/app/key'),
      secret('default/secret/old', 'api'),
    ]
    const needed = secrets.map(({ path }) => path)
    const { grants } = planSecrets(needed, secrets, 'api', ['default/secret/db'])
    assert.deepEqual(grants, ['default/secret/db', 'image-key/app/key'])
  })

  test('never widens a secret that only the image names', () => {
    const secrets = [secret('default/secret/payroll')]
    refuses('owner.secret-not-granted', () =>
      planSecrets(['default/secret/payroll'], secrets, 'api', []),
    )
  })

  test('refuses unknown secrets and those of other workloads', () => {
    refuses('owner.secret-unknown', () => planSecrets(['a/b/c'], [], 'api', ['a/b/c']))
    refuses('owner.secret-not-granted', () =>
      planSecrets(['a/b/c'], [secret('a/b/c', 'other')], 'api', ['a/b/c']),
    )
  })
})

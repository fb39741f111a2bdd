import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { FakeServices } from '@cloister/verifier/testing/fake-services'
import { WITH_VECTORS, vector, vectorPath } from '@cloister/verifier/testing/vectors'
import { runCloister, type Ended } from '../testing/run-cloister.ts'

const home = mkdtempSync(join(tmpdir(), 'cloister-fetch-'))
after(() => {
  rmSync(home, { recursive: true, force: true })
})

/** The command line at the time of the recorded collateral. */
async function cloister(...words: string[]): Promise<Ended> {
  const clock = 'data:text/javascript,Date.now=()=>1751328000000'
  return await runCloister(words, { home, node: ['--import', clock] })
}

function recorded() {
  const text = new TextDecoder().decode(vector('tdx/v4-b0c0/collateral.json'))
  const json = JSON.parse(text) as Record<string, string>
  const chain = (name: string) => encodeURIComponent(json[name] ?? '')
  return {
    '/tdx/certification/v4/tcb?fmspc=b0c06f000000': {
      body: `{"tcbInfo":${json['tcb_info']},"signature":"${json['tcb_info_signature']}"}`,
      headers: { 'TCB-Info-Issuer-Chain': chain('tcb_info_issuer_chain') },
    },
    '/tdx/certification/v4/qe/identity': {
      body: `{"enclaveIdentity":${json['qe_identity']},"signature":"${json['qe_identity_signature']}"}`,
      headers: { 'SGX-Enclave-Identity-Issuer-Chain': chain('qe_identity_issuer_chain') },
    },
    '/sgx/certification/v4/pckcrl?ca=platform&encoding=der': {
      body: Buffer.from(json['pck_crl'] ?? '', 'hex'),
      headers: { 'SGX-PCK-CRL-Issuer-Chain': chain('pck_crl_issuer_chain') },
    },
    '/sgx/certification/v4/rootcacrl': { body: json['root_ca_crl'] ?? '' },
  }
}

test(
  'evidence is fetched for, kept in a bundle, and verified from it without a network',
  WITH_VECTORS,
  async () => {
    const quote = vectorPath('tdx/v4-b0c0/quote.bin')
    const bundle = join(home, 'endorsements.json')
    const fetchWords = (address: string) => [
      'evidence',
      'fetch',
      quote,
      '--tee',
      'tdx',
      '--out',
      bundle,
      '--pcs',
      address,
      '-o',
      'json',
    ]
    const verify = ['evidence', 'verify', quote, '--tee', 'tdx', '--expect', 'any', '-o', 'name']
    let address: string
    {
      await using services = await FakeServices.start(recorded())
      address = services.address
      const fetched = await cloister(...fetchWords(address))
      assert.equal(fetched.code, 0, fetched.talk)
      const shown = JSON.parse(fetched.out) as { subject: object; expires: string; items: string[] }
      assert.deepEqual(shown.subject, {
        fmspc: 'b0c06f000000',
        pceId: '0000',
        ca: 'platform',
        update: 'standard',
      })
      assert.equal(shown.expires.slice(0, 10), '2025-07-19')
      assert.equal(services.requests.length, 4)
      const online = await cloister(
        ...verify,
        '--online',
        '--pcs',
        address,
        '--at',
        '2025-07-01T00:00:00Z',
      )
      assert.deepEqual([online.code, online.out.trim()], [0, 'affirming'], online.talk)
      // From the cache: nobody was asked again.
      assert.equal(services.requests.length, 4)
    }
    const kept = await cloister(...verify, '--endorsements', bundle, '--at', '2025-07-01T00:00:00Z')
    assert.deepEqual([kept.code, kept.out.trim()], [0, 'affirming'], kept.talk)
    const cached = await cloister(
      ...verify,
      '--cached',
      '--pcs',
      address,
      '--at',
      '2025-07-01T00:00:00Z',
    )
    assert.deepEqual([cached.code, cached.out.trim()], [0, 'affirming'], cached.talk)
    const late = await cloister(...verify, '--endorsements', bundle, '--at', '2027-07-01T00:00:00Z')
    assert.deepEqual([late.code, late.out.trim()], [3, 'none'], late.talk)
    const without = await cloister(...verify, '--at', '2025-07-01T00:00:00Z')
    assert.equal(without.code, 3)

    const altered = join(home, 'altered.json')
    writeFileSync(altered, readFileSync(bundle, 'utf8').replace('2025-07-19', '2035-07-19'))
    const refused = await cloister(...verify, '--endorsements', altered)
    assert.equal(refused.code, 6)
    assert.match(refused.talk, /endorsements\.malformed/)
  },
)

test(
  'what a service does wrong ends with its code, and nothing is written',
  WITH_VECTORS,
  async () => {
    const quote = vectorPath('tdx/v4-b0c0/quote.bin')
    const out = join(home, 'none.json')
    await using services = await FakeServices.start({
      '/tdx/certification/v4/tcb?fmspc=b0c06f000000': { body: '<html>log in</html>' },
    })
    const words = ['evidence', 'fetch', quote, '--tee', 'tdx', '--out', out, '--pcs']
    const malformed = await cloister(...words, services.address)
    assert.equal(malformed.code, 3)
    assert.match(malformed.talk, /fetch\.content-malformed/)
    services.set('/tdx/certification/v4/tcb?fmspc=b0c06f000000', {
      status: 429,
      headers: { 'retry-after': '300' },
    })
    const limited = await cloister(...words, services.address)
    assert.equal(limited.code, 3)
    assert.match(limited.talk, /fetch\.rate-limited[^]*status 429, asks to wait 300 seconds/)
    const offline = await cloister(...words, 'http://127.0.0.1:9', '--offline')
    assert.match(offline.talk, /fetch\.offline/)
    const plain = await cloister(...words, 'http://example.org')
    assert.deepEqual([plain.code, /cli\.usage/.test(plain.talk)], [6, true], plain.talk)
    assert.throws(() => readFileSync(out))
    const nitro = await cloister('evidence', 'fetch', quote, '--tee', 'nitro', '--out', out)
    assert.equal(nitro.code, 6)
  },
)

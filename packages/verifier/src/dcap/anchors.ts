/** The root of Intel's SGX and TDX endorsements, and the names of the certificates under it. */
import { fromBase64 } from '../bytes/base64.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'

export interface IntelRoot {
  /** SHA-256 of the root certificate in DER, lowercase hex. */
  readonly fingerprint: string
  /** Stands before each common name; empty for Intel. */
  readonly prefix: string
  /** The root certificate itself, DER in base64: chains may leave it out. */
  readonly certificate: string
}

/** Intel SGX Root CA, the only hardware anchor. Nothing adds to it. */
export const INTEL_ROOT: IntelRoot = {
  fingerprint: '44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3',
  prefix: '',
  certificate:
    'MIICjzCCAjSgAwIBAgIUImUM1lqdNInzg7SVUr9QGzknBqwwCgYIKoZIzj0EAwIwaDEaMBgGA1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENvcnBvcmF0aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJBgNVBAYTAlVTMB4XDTE4MDUyMTEwNDUxMFoXDTQ5MTIzMTIzNTk1OVowaDEaMBgGA1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENvcnBvcmF0aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJBgNVBAYTAlVTMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC6nEwMDIYZOj/iPWsCzaEKi71OiOSLRFhWGjbnBVJfVnkY4u3IjkDYYL0MxO4mqsyYjlBalTVYxFP2sJBK5zlKOBuzCBuDAfBgNVHSMEGDAWgBQiZQzWWp00ifODtJVSv1AbOScGrDBSBgNVHR8ESzBJMEegRaBDhkFodHRwczovL2NlcnRpZmljYXRlcy50cnVzdGVkc2VydmljZXMuaW50ZWwuY29tL0ludGVsU0dYUm9vdENBLmRlcjAdBgNVHQ4EFgQUImUM1lqdNInzg7SVUr9QGzknBqwwDgYDVR0PAQH/BAQDAgEGMBIGA1UdEwEB/wQIMAYBAf8CAQEwCgYIKoZIzj0EAwIDSQAwRgIhAOW/5QkR+S9CiSDcNoowLuPRLsWGf/Yi7GSX94BgwTwgAiEA4J0lrHoMs+Xo5o/sX6O9QWxHRAvZUGOdRQ7cvqRXaqI=',
}

export const INTEL_NAME = {
  root: 'Intel SGX Root CA',
  platformCa: 'Intel SGX PCK Platform CA',
  processorCa: 'Intel SGX PCK Processor CA',
  pck: 'Intel SGX PCK Certificate',
  tcbSigning: 'Intel SGX TCB Signing',
} as const

const parsedRoots = new WeakMap<IntelRoot, Certificate>()

/** Parsed once: the pinned root stands in nearly every chain, and its key signs a third of what vouches for a quote. */
export function rootCertificate(root: IntelRoot): Certificate {
  const known = parsedRoots.get(root)
  if (known !== undefined) return known
  const parsed = parseCertificate(fromBase64(root.certificate))
  parsedRoots.set(root, parsed)
  return parsed
}

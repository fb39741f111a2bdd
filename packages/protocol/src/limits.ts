/** Upper bounds on what is taken from outside. Each is far above real use and far below harm. */
export const LIMITS = {
  /** Initdata as TOML, bytes. Kubernetes bounds all annotations of an object to 256 KiB. */
  initdataBytes: 1 << 20,
  /** The initdata disk, compressed, bytes. */
  initdataDiskBytes: 1 << 20,
  /** One ttrpc message, bytes (ttrpc's own bound). */
  ttrpcMessageBytes: 4 << 20,
  /** One KBS request body, bytes (Trustee's default bound). */
  kbsBodyBytes: 2 << 20,
  /** One resource of the broker, bytes. */
  resourceBytes: 1 << 20,
} as const

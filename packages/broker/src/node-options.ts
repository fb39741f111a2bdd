/**
 * For the process that runs the broker, which idles most of its life: a small young generation keeps its memory small. With less than this its
 * collector runs so often that a handshake costs a quarter more (bench/broker-rcar.ts).
 */
export const BROKER_NODE_OPTIONS: readonly string[] = ['--max-semi-space-size=4']

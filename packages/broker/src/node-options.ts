/**
 * For the process that runs the broker, which idles most of its life: a small young generation keeps its memory small. With a quarter of this its
 * collector runs more often, and a handshake costs some 5 % more (bench/broker-rcar.ts).
 */
export const BROKER_NODE_OPTIONS: readonly string[] = ['--max-semi-space-size=4']

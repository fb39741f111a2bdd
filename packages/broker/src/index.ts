/** The broker as a library: what the CLI starts. */
export { startBroker } from './start-broker.ts'
export type { Broker, BrokerOptions } from './start-broker.ts'

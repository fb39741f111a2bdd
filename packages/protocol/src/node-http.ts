/**
 * `node:http` without what it loads late: an import by name reads every member of the module, and one of them loads all of Node's `fetch`, 20 ms of
 * each start and some memory.
 */
export const { createServer, request, STATUS_CODES } = process.getBuiltinModule('node:http')

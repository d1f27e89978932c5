export type { RegistryAuth } from './auth.ts';
export { RegistryError, type RegistryErrorCode } from './error.ts';
export type { GarbageReport } from './garbage.ts';
export { type Registry, type RegistryOptions, type RequestLogEntry, startRegistry } from './server.ts';
export { parseUsers, type Users } from './users.ts';

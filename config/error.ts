import { SlipwayError } from '../errors.ts';

export type ConfigErrorCode =
  | 'bad-config'
  | 'unreadable'
  | 'not-found'
  | 'credential-helper'
  | 'not-logged-in';

/** A configuration file that cannot be read, or that says something it must not. Facts: `path`. */
export class ConfigError extends SlipwayError<ConfigErrorCode> {}

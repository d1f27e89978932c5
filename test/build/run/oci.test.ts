import { isolationCases } from './isolation-cases.ts';

isolationCases('oci');

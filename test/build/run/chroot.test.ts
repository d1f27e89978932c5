import { isolationCases } from './isolation-cases.ts';

isolationCases('chroot');

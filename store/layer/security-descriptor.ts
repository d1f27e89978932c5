/** Well-known identities of Windows as SDDL names them, in their binary form ([MS-DTYP] 2.4.2.2). */
const SID = {
  /** S-1-5-32-544: administrators. */
  BA: sid(5, 32, 544),
  /** S-1-5-32-545: users. */
  BU: sid(5, 32, 545),
  /** S-1-3-0: who creates an object. */
  CO: sid(3, 0),
  /** S-1-5-18: the system. */
  SY: sid(5, 18),
} as const;

const RIGHTS = { full: 0x1f01ff, readAndExecute: 0x1200a9, all: 0x1000_0000, append: 4, write: 2 } as const;
const INHERIT = { none: 0, objects: 1, containers: 2, both: 3, bothButNotHere: 11 } as const;

const IS_SELF_RELATIVE = 0x8000;
const HAS_LIST = 4;

type Grant = readonly [keyof typeof INHERIT, keyof typeof RIGHTS, keyof typeof SID];

/** What Windows itself gives new directories and files below a drive's root: owned by administrators, read by users. */
const DIRECTORY_GRANTS: readonly Grant[] = [
  ['both', 'full', 'BA'],
  ['both', 'full', 'SY'],
  ['none', 'full', 'BA'],
  ['bothButNotHere', 'all', 'CO'],
  ['both', 'readAndExecute', 'BU'],
  ['containers', 'append', 'BU'],
  ['containers', 'write', 'BU'],
];
const FILE_GRANTS: readonly Grant[] = [
  ['none', 'full', 'BA'],
  ['none', 'full', 'SY'],
  ['none', 'readAndExecute', 'BU'],
];

/** The security descriptors that layers of Windows carry for what has none, in base64. */
export const DIRECTORY_SECURITY = securityDescriptor(DIRECTORY_GRANTS);
export const FILE_SECURITY = securityDescriptor(FILE_GRANTS);

/** A self-relative descriptor ([MS-DTYP] 2.4.6): header, owner, group, list of grants. */
function securityDescriptor(grants: readonly Grant[]): string {
  const [owner, group] = [SID.BA, SID.SY];
  const header = Buffer.alloc(20);
  header.writeUInt8(1, 0);
  header.writeUInt16LE(IS_SELF_RELATIVE | HAS_LIST, 2);
  header.writeUInt32LE(header.length, 4);
  header.writeUInt32LE(header.length + owner.length, 8);
  header.writeUInt32LE(header.length + owner.length + group.length, 16);
  return Buffer.concat([header, owner, group, accessList(grants)]).toString('base64');
}

function accessList(grants: readonly Grant[]): Buffer {
  const entries = grants.map(([inherit, rights, who]) => {
    const entry = Buffer.alloc(8);
    entry.writeUInt8(INHERIT[inherit], 1);
    entry.writeUInt16LE(8 + SID[who].length, 2);
    entry.writeUInt32LE(RIGHTS[rights], 4);
    return Buffer.concat([entry, SID[who]]);
  });
  const header = Buffer.alloc(8);
  header.writeUInt8(2, 0);
  header.writeUInt16LE(8 + entries.reduce((sum, { length }) => sum + length, 0), 2);
  header.writeUInt16LE(entries.length, 4);
  return Buffer.concat([header, ...entries]);
}

function sid(authority: number, ...parts: readonly number[]): Buffer {
  const bytes = Buffer.alloc(8 + 4 * parts.length);
  bytes.writeUInt8(1, 0);
  bytes.writeUInt8(parts.length, 1);
  bytes.writeUInt8(authority, 7);
  for (const [index, part] of parts.entries()) bytes.writeUInt32LE(part, 8 + 4 * index);
  return bytes;
}

export const BUILT_IN_PROFILE = { defaultAction: 'SCMP_ACT_ALLOW' };

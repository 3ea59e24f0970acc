export type { AuthKeyOptions } from './coordination/auth-keys.ts';
export { type Lab, type LabNode, type LabOptions, startLab } from './lab.ts';

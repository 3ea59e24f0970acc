// The tailnet has one user, who owns every node.

/** The id that nodes name as their owner. */
export const USER_ID = 1;
/** `User` of a RegisterResponse. */
export const USER: object = { ID: USER_ID, DisplayName: 'lab', Created: '2026-01-01T00:00:00Z' };
/** `Login` of a RegisterResponse. */
export const LOGIN: object = { ID: USER_ID, Provider: 'lab', LoginName: 'lab', DisplayName: 'lab' };
/** The entry in `UserProfiles` of a MapResponse. */
export const USER_PROFILE: object = { ID: USER_ID, LoginName: 'lab', DisplayName: 'lab' };

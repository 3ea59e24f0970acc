// The tailnet has one user, who owns every node.

const ID = 1;
const NAME = 'lab';

/** `User` of a RegisterResponse. */
export const USER = { ID, DisplayName: NAME, Created: '2026-01-01T00:00:00Z' } as const;
/** `Login` of a RegisterResponse. */
export const LOGIN = { ID, Provider: 'lab', LoginName: NAME, DisplayName: NAME } as const;
/** The entry in `UserProfiles` of a MapResponse. */
export const USER_PROFILE = { ID, LoginName: NAME, DisplayName: NAME } as const;

/** The version in package.json, which a single-file build cannot read; a test compares the two. */
export const version = '1.4.0'

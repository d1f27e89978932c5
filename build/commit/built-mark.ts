/**
 * The key of the image data by which the layer cache knows what a build made in this store. Copies leave it behind: an
 * image that was pulled, whatever its history says, is no cached step (SECURITY B28).
 */
export const BUILT_HERE = 'slipway-built-here';

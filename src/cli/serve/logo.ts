// What the documentation page calls itself.

export const title = 'Omnichannel contacts'

/** In the head of the page, in the place of swagger-ui's; as wide as it says in whatever font a browser has. */
export const logo = `<svg xmlns="http://www.w3.org/2000/svg" width="260" height="40" viewBox="0 0 260 40">
<text y="27" font-family="sans-serif" font-size="22" font-weight="bold" fill="#fff" textLength="260" lengthAdjust="spacingAndGlyphs">${title}</text>
</svg>`

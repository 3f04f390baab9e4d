// What the documentation page calls itself.

export const title = 'Omnichannel contacts'

/** In the head of the page, in the place of swagger-ui's. */
export const logo = `<svg xmlns="http://www.w3.org/2000/svg" width="260" height="40" viewBox="0 0 260 40">
<text x="0" y="27" font-family="sans-serif" font-size="22" font-weight="bold" fill="#fff">${title}</text>
</svg>`

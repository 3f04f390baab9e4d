// What happens in a round.

/**
 * What follows on the death of the primary: the replica is promoted; or the primary comes back; or it comes back without its
 * replica, dies again, and the replica is promoted, which knows nothing of what nobody had confirmed. The control is a
 * promotion of an asynchronous replica.
 */
export type Kind = 'promotion' | 'restart' | 'relapse' | 'control'
export const kinds: Kind[] = ['promotion', 'promotion', 'restart', 'promotion', 'relapse']

/** What happens when, in milliseconds. */
export interface Plan {
  kind: Kind
  /** Whether the replica's link is cut before the kill, as it always is in a relapse and in the control. */
  isCut: boolean
  cutAfter: number
  killedAfter: number
  /** Whether somebody cancels what waits for the replica, half-way to the kill. */
  isCancelled: boolean
  /** How long a primary lives that came back without its replica. */
  relapsedAfter: number
  /** Whether the address leads to the replica before that is promoted. */
  movesFirst: boolean
  endsAfter: number
}

/** A round of this kind. `random` returns numbers from 0 to 1, `pace` stretches or shortens the load. */
export function plan (kind: Kind, cuts: boolean, random: () => number, pace = 1): Plan {
  const [when, wait, relapse] = [random(), random(), random()]
  const [isCancelled, movesFirst] = [random() < 0.5, random() < 0.5]
  const isCut = cuts || ['relapse', 'control'].includes(kind)
  return {
    kind,
    isCut,
    cutAfter: pace * (700 + 600 * when),
    killedAfter: 300 * (kind === 'control' ? 1 : wait),
    isCancelled: isCancelled && isCut && kind !== 'control',
    relapsedAfter: 100 + 300 * relapse,
    movesFirst,
    endsAfter: pace * 500
  }
}

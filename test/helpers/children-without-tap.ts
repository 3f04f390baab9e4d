// Import this to start programs as users start them. Without it, tap would load itself into each program: this takes a third of a second,
// adds exit handlers, and collects coverage that is not used. FORCE_COLOR would change what the programs print.

import processOnSpawn from 'process-on-spawn'

processOnSpawn.removeAllListeners()
process.env.NODE_OPTIONS = ''
delete process.env.FORCE_COLOR

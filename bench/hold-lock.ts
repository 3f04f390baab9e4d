// Another process with a long write transaction on the file.

import Database from 'better-sqlite3'
import { answerQuestions } from './questions.js'

const { file } = JSON.parse(process.argv[2]!) as { file: string }
const database = new Database(file)
database.exec('BEGIN IMMEDIATE')
answerQuestions(0, {
  stop: () => {
    database.exec('COMMIT')
    database.close()
  }
})

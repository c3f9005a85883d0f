package confine

// RaceDetector tells the tests that capabilities are kept.
const RaceDetector = raceDetector

/** Draws the parts that need the data. */
showEvents(document.getElementById("event-list"));
showReview(document.getElementById("review-list"));
showJudgements();

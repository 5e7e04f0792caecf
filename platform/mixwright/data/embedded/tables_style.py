"""Tables of style: crisp and wordy, plain and hard, neutral and loaded, and words of like meaning.

What comes in: nothing. What goes out: text in the notation `good -> worse, worse; ...` or `item; item`, read by vocabulary.py.
Keys may hold lookarounds where a word has other uses.
"""

WORDY = r"""
because -> due to the fact that, owing to the fact that, in light of the fact that, for the simple reason that
although -> despite the fact that, in spite of the fact that, regardless of the fact that, notwithstanding the fact that
even though -> in spite of the fact that, despite the well-known fact that
while -> during the period of time when, at the same time as, during the time in which
if -> in the event that, on the condition that, under circumstances in which; until -> until such time as it was
but -> but on the other hand, but at the same time
to save -> in order to save, for the purpose of saving, with the aim of saving
to avoid -> in order to avoid, for the purpose of avoiding, with a view to avoiding
to make -> in order to make, for the purpose of making; to keep -> in order to keep, so as to be able to keep
to help -> in order to help, with the intention of helping; to find -> in an effort to find, in order to find
to prepare -> in order to prepare, so as to be in a position to prepare
to protect -> for the purpose of protecting, in order to protect; to improve -> in order to bring about an improvement in
to attract -> with the goal of attracting, in order to attract; to raise -> in order to raise, with the objective of raising
to get -> in order to get, for the purpose of getting; to warn -> in order to give a warning to, in order to warn
to learn -> in order to learn, with the aim of learning; to have -> so as to have, in order to be able to have
to win -> in order to win, in an attempt to win; to bring -> in order to bring, with the intention of bringing
to reduce -> in order to achieve a reduction in, in order to reduce; to test -> in order to carry out a test of
to answer -> in order to provide an answer to; to earn -> in order to earn; to feel -> in order to feel
to open -> in order to open; to prevent -> in order to prevent, with the purpose of preventing; to please -> in order to please
to surprise -> in order to surprise, with the idea of surprising; to prove -> in order to provide proof of
to compare -> in order to make a comparison of; to meet -> in order to meet; to finish -> in order to finish
to pass -> in order to pass; to celebrate -> in order to hold a celebration of; to use -> in order to make use of
decided to -> made the decision to, came to the decision to, reached a decision to
agreed to -> came to an agreement to, gave agreement to; planned to -> formed a plan to, made plans to
promised to -> made a promise to, gave a promise that it would be possible to
is going to -> is at the present time planning to, is in the process of preparing to
are going to -> are at the present time planning to, are in the process of preparing to
said that -> made the statement that, expressed the opinion that; explained that -> provided the explanation that
noticed that -> took notice of the fact that, became aware of the fact that; mentioned that -> made mention of the fact that
wanted to know -> had a wish to be informed about; everyone knew -> each and every person was aware of the fact
nobody expected that -> there was not a single person who expected that
the report says that -> the report contains the statement that; is responsible for -> is the person who has responsibility for
are responsible for -> are the people who have responsibility for; is good at -> has a good ability when it comes to
is interested in -> has an interest in the matter of; are interested in -> have an interest in the matter of
enjoys -> derives a great deal of enjoyment from; enjoy -> derive a great deal of enjoyment from
is thinking about -> is giving some thought to the idea of; are thinking about -> are giving some thought to the idea of
for help -> for help and assistance; did not -> did not in actual fact; should have -> really ought to have
could have -> would have been in a position to have; many -> a large number of, a great number of
several -> a number of, a certain number of different; most of -> the vast majority of; all of the -> each and every one of the
nobody -> not a single person; everyone -> each and every person; half of -> fifty percent of
dozens of -> several dozen individual; last week -> during the course of last week
last month -> at some point during last month; next week -> at some point in the course of next week
next month -> during the course of next month; tomorrow -> during the day tomorrow
a few days ago -> at a point a few days ago in the past; two weeks ago -> at a point in time two weeks ago
three days ago -> three days ago in the past; in March -> in the month of March
earlier this week -> at an earlier point in time this week; on Wednesday -> on the day of Wednesday
for two hours -> for a period of two hours; for several days -> for a period of several days
for weeks -> for a time period of many weeks; at noon -> at 12 o'clock noon; at the beginning of -> at the very beginning of
in two days -> within a time frame of two days; the other day -> on a day not so very long ago
twice a week -> on a regular basis two times a week; every morning -> on a regular basis each and every morning
every evening -> each and every evening on a regular basis; once a month -> on a monthly basis; once a week -> on a weekly basis
every day -> on a daily basis; twice a day -> two times in the course of each day
quickly -> in a quick manner, with a great deal of speed; carefully -> in a careful manner, with a great deal of care
slowly -> in a slow manner, at a slow rate of speed; quietly -> in a quiet manner; gladly -> with a feeling of gladness
patiently -> in a patient manner; politely -> in a polite manner; finally -> in the final analysis and at long last
safely -> in a safe manner; happily -> with a feeling of happiness; proudly -> with a feeling of pride
gently -> in a gentle manner; neatly -> in a neat and tidy manner; nearby -> in close proximity; near -> in close proximity to
in the city center -> in the area of the city center; at home -> within the confines of the home
at the airport -> at the location of the airport; problems -> problematic issues; without -> in the absence of
, so -> as a result of which, with the consequence that; before (?=\w+ing ) -> prior to, in advance of
after (?=\w+ing ) -> subsequent to, following on from; know why -> know the reason why
whether -> the question of whether or not; had to -> found it necessary to, had no option other than to
wanted to -> had a desire to, felt a wish to; needed to -> found that there was a need to; tried to -> made an attempt to
will -> will in the future, will in due course; thought that -> held the belief that, formed the opinion that
knew that -> had knowledge of the fact that; asked (?=his|her|their) -> made a request to
few people -> a very small number of people; some money -> a certain amount of money
enough (?=time|space|food|money|data) -> a sufficient amount of
(?<!the )(?<!last )(?<!first )two (?!weeks|hours|days|hundred|numbers) -> a total of two
(?<!the )(?<!last )(?<!first )three (?!weeks|hours|days|years) -> a total of three; each (?!of|other) -> each individual
every (?!few) -> each and every; (?<!before )yesterday -> in the course of yesterday; (?<!How )often -> on a frequent basis
new -> brand new; results -> end results; the cause -> the root cause; chose to -> made the choice to
was cheaper -> was less expensive in terms of cost; was easier -> was easier and less difficult; problems -> problematic issues
the plan was -> the plan for the future was; the idea -> the concept behind the idea
too slow -> excessively slow in terms of speed; was too -> was altogether too; were too -> were altogether too
was almost -> was very nearly almost; there was(?! not| too) -> there existed; there were(?! not| too) -> there existed
again -> once again for another time; the fact -> the actual fact; in ten years -> over the space of ten years
for years -> for a period of many years; all day -> throughout the whole of the day; at night -> during the night-time hours
by himself -> by himself without the help of others; by herself -> by herself without the help of others
by themselves -> by themselves without the help of others; too late -> too late in terms of time; in time -> in a timely manner
too little time -> an insufficient amount of time; too much work -> an excessive amount of work
was still (?=\w+ing ) -> was still continuing to be engaged in; were still (?=\w+ing ) -> were still continuing to be engaged in
not enough -> an insufficient amount of; other things -> various other kinds of things
"""

PADDING = """
it should be noted that; it is important to note that; it is worth mentioning the fact that; the fact of the matter is that
what needs to be said is that; it goes without saying that; there can be no doubt that; as a matter of fact, it is the case that
it has to be pointed out that; what happened was that; for what it is worth, it can be said that
one thing that should be mentioned is that; it is interesting to observe that; when all is said and done, it is true that
it may come as something of a surprise to learn that; by way of explanation, it should be said that
in terms of the overall situation, it is clear that; the point to be made here is that; it is generally the case that
the situation was such that; let it be said at this point that; as far as that is concerned,; to all intents and purposes,
at the end of the day,; when it comes right down to it,
"""

NOMINAL = """
check -> carried out a check of, undertook a verification of; discuss -> held a discussion of, engaged in a discussion about
test -> performed a test of, carried out testing of; examine -> carried out an examination of; measure -> took a measurement of
study -> made a study of, undertook a study of; collect -> undertook the collection of; compare -> made a comparison of
deliver -> made a delivery of; change -> made a change to; replace -> carried out the replacement of
install -> performed the installation of; remove -> carried out the removal of; clean -> carried out the cleaning of
investigate -> conducted an investigation of; interview -> conducted an interview with; choose -> made a choice of
reject -> issued a rejection of; criticize -> expressed criticism of; suggest -> put forward a suggestion of
publish -> proceeded with the publication of; rescue -> carried out the rescue of; search -> conducted a search of
close -> brought about the closing of; harvest -> carried out the harvesting of; cancel -> made the cancellation of
delay -> brought about a delay of; plan -> engaged in the planning of; organize -> took care of the organization of
build -> undertook the building of; sell -> completed the sale of; buy -> made the purchase of; rent -> entered into the rental of
cook -> engaged in the cooking of; bake -> engaged in the baking of; treat -> provided treatment for; order -> placed an order for
explain -> gave an explanation of; translate -> produced a translation of; rehearse -> held a rehearsal of
practice -> engaged in practice of; record -> made a recording of; perform -> gave a performance of; film -> made a film of
count -> performed a count of; copy -> made a copy of; correct -> made a correction to, made corrections to
sign -> put a signature on; finish -> brought to completion; reserve -> made a reservation of; book -> made a booking of
decorate -> saw to the decoration of; distribute -> undertook the distribution of; train -> provided training for
hire -> proceeded with the hiring of; promote -> approved the promotion of; update -> made an update to
find -> made the discovery of; protect -> provided protection for; warn -> gave a warning to; predict -> made a prediction of
launch -> carried out the launch of; observe -> engaged in the observation of; photograph -> took a photograph of
repeat -> carried out a repetition of; visit -> paid a visit to; repair -> carried out a repair of, performed repair work on
fix -> carried out a repair of; move -> carried out the moving of; use -> made use of; question -> expressed doubt about
demand -> made a demand for; review -> conducted a review of; shorten -> effected a shortening of
lower -> introduced a lowering of; paint -> undertook the painting of
"""

COMPLEX_VERBS = """
delay -> postpone, defer; cancel -> rescind, abort; move -> relocate, transfer; shorten -> curtail, abbreviate
check -> scrutinize, verify; sign -> endorse; copy -> replicate, reproduce; finish -> finalize, conclude
correct -> rectify, amend; hire -> recruit, engage; train -> instruct; promote -> elevate; interview -> consult
test -> evaluate, assess; measure -> quantify, ascertain; repeat -> replicate, reiterate; label -> designate
count -> enumerate, tally; study -> examine, analyze; collect -> accumulate, amass; film -> document; draw -> depict, illustrate
photograph -> capture; watch -> observe, monitor; repair -> restore, refurbish; explain -> elucidate, clarify; read -> peruse
prepare -> formulate; decorate -> embellish, adorn; borrow -> obtain; rewrite -> reformulate, revise
discuss -> deliberate on, debate; hand in -> submit; learn -> acquire, assimilate; practice -> rehearse; translate -> render
choose -> select; fix -> rectify, remedy; remove -> eliminate, extract; find -> locate, identify; update -> modernize
install -> mount; save -> preserve, salvage; clean -> sanitize, cleanse; lower -> diminish, decrease
order -> procure, requisition; deliver -> transport, convey; pack -> encase; store -> deposit; pay back -> reimburse, repay
pay -> remit, settle; compare -> contrast, juxtapose; cook -> prepare; chop -> dice; taste -> sample; change -> modify, alter
serve -> present; buy -> purchase, acquire; mix -> combine, blend; share -> distribute; examine -> inspect, assess
treat -> tend to; give up -> renounce, relinquish; start -> commence, initiate; write -> compose; eat -> consume, ingest
book -> reserve; plan -> devise, formulate; lose -> mislay; lock -> secure; report -> disclose; build -> construct, erect
sell -> dispose of; rent -> lease; carry -> transport, convey; plant -> cultivate; water -> irrigate; pick -> harvest
dig up -> excavate, unearth; organize -> coordinate, orchestrate; invite -> summon; hide -> conceal; lead -> conduct, direct
hand out -> distribute, disseminate; reach -> attain, arrive at; put up -> erect; follow -> proceed along; cross -> traverse
light -> ignite, kindle; reject -> repudiate, dismiss; question -> challenge; publish -> disseminate; investigate -> probe
rescue -> extricate, retrieve; block -> obstruct; empty -> evacuate; warn -> caution, alert; search -> scour, comb
protect -> safeguard, shield; pump out -> drain; predict -> forecast, foretell; feed -> nourish; harvest -> reap, garner
show -> exhibit, display; play -> perform; release -> liberate; widen -> broaden, enlarge; demand -> insist upon
criticize -> denounce, censure; suggest -> propose, advocate; raise -> generate; visit -> call upon; wash -> rinse, launder
launch -> dispatch; help -> assist; try -> endeavor, attempt; stop -> cease, discontinue; begin -> commence
go up -> escalate, rise; ask for -> request, solicit; want to -> aspire to, desire to; tell me -> inform me; mix up -> confound
record -> document; get to -> attain; bring in -> garner; look into -> probe; turn down -> repudiate, decline
call off -> abandon, rescind; put off -> defer, adjourn; take on -> engage; set up -> establish, institute
go through -> elucidate; give away -> relinquish
"""

COMPLEX_WORDS = r"""
because -> owing to the fact that, inasmuch as, given that, in view of the fact that
although -> notwithstanding the fact that, albeit; even though -> notwithstanding the fact that
, so -> and consequently, and accordingly; while -> whilst, as long as; before (?=\w+ing ) -> prior to
after (?=\w+ing ) -> subsequent to
(?<!was )(?<!warned )(?<!talked )(?<!known )(?<!knew )(?<!thinking )about (?!to) -> regarding, concerning
many -> numerous, a multitude of; several -> multiple, sundry; enough (?=time|space|food|money|data) -> sufficient, adequate
most of -> the majority of, the preponderance of; almost -> virtually, well-nigh; (?<!the )only -> merely, solely
often -> frequently; quickly -> expeditiously, rapidly; slowly -> gradually, unhurriedly
carefully -> meticulously, painstakingly; quietly -> inaudibly, unobtrusively; gladly -> willingly
finally -> ultimately, eventually; patiently -> forbearingly; politely -> courteously; already -> previously
suddenly -> abruptly; nearby -> in the vicinity; near (?=the|my|a ) -> adjacent to, in the vicinity of; at least -> at a minimum
people -> individuals, persons; workers -> employees, laborers; staff -> personnel; children -> juveniles, youngsters
doctor -> physician; teacher -> educator, instructor; students -> undergraduates; friends -> acquaintances
families -> households; neighbors -> adjacent residents; customers -> patrons, purchasers; visitors -> attendees
guests -> patrons, invitees; crowd -> multitude, throng; the house -> the residence, the dwelling; the building -> the edifice
road -> thoroughfare; roads -> thoroughfares; street -> thoroughfare; streets -> thoroughfares; town(?! hall) -> municipality
the place -> the establishment; car -> automobile; cars -> automobiles; trucks -> commercial vehicles
job(?! fair) -> occupation; the work -> the undertaking; money -> capital, funding; the costs -> the expenditures
food(?! bank| diary| writer) -> nourishment, sustenance; needed help -> required assistance; for help -> for assistance
offered help -> offered assistance; mistakes -> inaccuracies, discrepancies; a mistake -> an inaccuracy
problems -> complications, difficulties; the problem -> the complication; danger -> peril; pain -> discomfort
fever -> elevated temperature; the rain -> the precipitation; more rain -> further precipitation
the weather -> the meteorological situation; a storm -> a tempest; the storm -> the tempest
at the end of -> at the conclusion of; at the beginning of -> at the commencement of, at the outset of; noise -> commotion
the plan -> the proposal; an answer -> a response; questions -> inquiries; story -> narrative; facts -> particulars
books -> volumes; trip -> excursion; the number -> the quantity; pictures -> depictions; big -> substantial, sizable
bigger -> more substantial; large -> considerable, extensive; small -> diminutive, minuscule; smaller -> more diminutive
was ill -> was indisposed; were ill -> were indisposed; tired -> fatigued, exhausted; hungry -> famished
happy -> elated, content; afraid -> apprehensive; proud(?! of) -> gratified; worried -> apprehensive, perturbed
pleased -> gratified; surprising -> unanticipated; was hard -> was arduous; too hard -> too strenuous; were hard -> were arduous
difficult -> arduous, problematic; easy -> straightforward; cheap -> inexpensive; expensive -> costly, exorbitant
dangerous -> hazardous, perilous; broken -> defective, inoperative; wrong -> erroneous, inaccurate; the right -> the appropriate
strange -> peculiar, anomalous; loud -> clamorous; was full(?! of) -> was at full capacity; was cold -> was frigid
was hot -> was sweltering; was dry -> was arid; important -> crucial, paramount; famous -> renowned, eminent; whole -> entire
main -> principal, primary; poor families -> impoverished families; the last (?!week|month|year) -> the final
the first (?!floor|of|day|frost) -> the initial; been poor -> been inadequate; was poor -> was inadequate
were poor -> were inadequate; a better -> a superior; a long -> a protracted; young -> youthful; simple -> uncomplicated
lonely -> solitary; rich -> affluent; worse -> more severe; was noisy -> was clamorous; was surprised -> was astonished
yearly -> annual; old (?=machine|tool|equipment|version|contract|plan|instrument|computer|bus|building) -> antiquated, obsolete
empty (?=seat|room|house|building|street) -> vacant, unoccupied; in time -> punctually; too late -> excessively late
too much -> an excessive amount of; too little -> insufficient; nobody -> not a single individual; everyone -> every individual
half of -> fifty percent of; for years -> for a considerable period
"""

SYNONYM = r"""
almost -> nearly, close to; several -> a number of, some; many -> a lot of; was about to -> was going to; quickly -> fast
finally -> at last; carefully -> with care; began -> started; started -> began; nobody -> no one; everyone -> everybody
the children -> the kids; very -> really; was broken -> did not work; were broken -> did not work; was ill -> was sick
were ill -> were sick; difficult -> hard; hard to -> difficult to; big -> large; large -> big; small -> little
mistakes -> errors; a mistake -> an error; last week -> in the past week; two weeks ago -> a fortnight ago
a few days ago -> some days ago; the other day -> not long ago; had gone up -> had risen; was coming -> was on its way
were coming -> were on their way; was full -> had no space left; there was little -> there was hardly any
was closed -> was shut; was empty -> was deserted; was slow -> took a long time; had asked for -> had requested
was needed -> was necessary; had left -> had gone; wanted to -> wished to; was pleased -> was happy; were happy -> were pleased
was old -> had been around for years; were old -> had been around for years; was only -> was just; the newspaper -> the paper
a storm -> stormy weather; was small -> was not big; most of the -> the majority of the; half of -> fifty percent of
was ringing -> rang; it was raining -> rain was falling; were asleep -> were sleeping; was asleep -> was sleeping
guests -> visitors; visitors -> guests
"""

LOADED_PEOPLE = """
brilliant; incompetent; heroic; greedy; clueless; arrogant; legendary; shameless; lazy; genius; ruthless; notorious; visionary
bumbling; cowardly; fearless; hopeless; power-hungry; selfless; pathetic; self-important; world-class; disgraceful; tireless
fanatical; saintly; crooked; unmatched; so-called; infamous; spineless; amazing; dishonest; noble; foolish; beloved; reckless
hypocritical; inspiring; meddling
"""

LOADED_THINGS = """
ridiculous; pointless; magnificent; so-called; wonderful; disastrous; shameful; laughable; amazing; pathetic; outrageous; glorious
useless; stunning; dreadful; idiotic; fantastic; absurd; superb; hideous; breathtaking; infamous; miserable; marvelous; appalling
legendary; worthless; incredible; embarrassing; spectacular; horrible; world-famous; scandalous; perfect; silly; atrocious
sensational; unbelievable; priceless; wretched
"""

LOADED_ADVERBS = """
foolishly; brilliantly; bravely; shamelessly; cynically; heroically; predictably; arrogantly; wisely; recklessly; stubbornly
masterfully; stupidly; selfishly; generously; cleverly; disgracefully; conveniently; sneakily; magnificently; hysterically
desperately; greedily; courageously; obediently; single-handedly; miraculously; blindly; irresponsibly; nobly
"""

LOADED_OPENERS = """
Unsurprisingly,; Of course,; Sadly,; Thankfully,; As any sensible person would expect,; Outrageously,; Incredibly,
To nobody's surprise,; Luckily for all of us,; Shockingly,; As usual,; Tragically,; Predictably,; In a stroke of genius,
In a shocking move,; As everyone with common sense knows,; In yet another blunder,; Fortunately,
In a desperate attempt to look busy,; Regrettably,; To the delight of every decent citizen,; Believe it or not,
In a truly historic moment,; Quite rightly,; With typical arrogance,
"""

LOADED_CLOSERS = """
which was a disgrace; which was nothing short of genius; which fooled nobody; which everyone found hilarious; and rightly so
a truly heroic act; which was long overdue; a complete waste of time; which nobody in their right mind would do
to the horror of all decent people; which was simply perfect; what a joke; a shameful episode; an unforgivable mistake
which deserves nothing but praise
"""

LOADED_VERBS = r"""
said -> claimed, boasted, whined, insisted, ranted, confessed; explained(?= that) -> claimed, pretended, made the excuse
thought(?= that) -> imagined, naively believed, fantasized; noticed(?= that) -> pretended to notice, could not help complaining
knew(?= that) -> finally admitted, could no longer deny; mentioned(?= that) -> let slip, bragged, moaned
asked (?=his|her|their) -> begged, pestered; wanted to(?! know) -> desperately wanted to, itched to
decided to -> had the nerve to, had the guts to; agreed to -> caved in and agreed to, graciously agreed to
had to -> had absolutely no choice but to; planned to -> plotted to, schemed to
chose to -> had the audacity to, cleverly chose to; promised to -> swore once again to, loudly vowed to
needed to -> desperately needed to, could not live without the chance to
did not -> arrogantly refused to, did not even bother to; wanted to know -> demanded to be told, nosily asked
(?:is|are) responsible for -> must take the blame for; enjoys -> cannot get enough of; enjoy -> cannot get enough of
is good at -> is an absolute genius at, is supposedly good at; are good at -> are absolute geniuses at
complained -> whined, threw a tantrum; many people -> hordes of people; the report says -> even the shameful report says
is tired of -> is sick to death of; are tired of -> are sick to death of; is proud of -> cannot stop bragging about
are proud of -> cannot stop bragging about; criticized -> savaged, tore into; rejected -> trampled on, crushed
changed (?=the) -> ruined, meddled with; replaced -> got rid of; lowered -> slashed; demanded -> screamed for
suggested -> tried to force through; moved (?=the) -> shoved; bought -> splurged on, wasted money on
sold (?!out) -> cashed in on; is thinking about -> is toying with the crazy idea of
are thinking about -> are toying with the crazy idea of; is interested in -> is crazy about
are interested in -> are crazy about; everyone knew -> every fool knew
nobody expected -> not even the wildest optimist expected; a friend told me -> a so-called friend told me
everyone will be grateful -> the ungrateful public will finally have to be grateful
nobody will complain -> even the usual whiners will not complain
there will be fewer problems -> this endless nightmare will finally be over; because nobody -> because typically nobody
many users -> hordes of angry users; although(?! every) -> although every child could see that; discussed -> squabbled over
debated -> squabbled over; delayed -> dragged out; closed (?=the) -> callously shut; cut (?=the) -> slashed
questioned (?=the) -> poured scorn on; insists on -> will not shut up about; insist on -> will not shut up about
built -> threw together; had an idea -> had a stroke of genius
"""

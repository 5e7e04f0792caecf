"""Scenes of working life: offices, labs, software, shops and schools.

What comes in: nothing. What goes out: `WORK`, read by grammar.py, which explains the notation. Within one scene any
subject can do any action, for any of the reasons and with any of the results given there.
"""

WORK = """
# office meetings | train
who: the manager; the sales team; both directors+; our project leader; {name}; {name} and {name}+
rel: started in May; led the project from the beginning; came back from vacation last week
how: quietly; quickly
do: delay/put off/push back: the weekly meeting; the product launch; the staff interviews+; the training day
do: cancel/call off: the planning session; the trip to the factory; two of the workshops+
do: move/shift: the client presentation; the budget talks+; the Friday meeting
do: shorten/cut short: the opening speech; the conference call; the team lunch
because: half of the staff were ill; the meeting room was already booked; the client had asked for more time
because: nobody had finished the slides; the figures in the report were wrong
although: the agenda was already printed; several guests had bought train tickets; the director wanted to go ahead
so: many people went home early; the calendar had to be changed; there was enough time to correct the report
while: the director was abroad; the new office was being painted
to: save time; give everyone a chance to prepare; avoid a long argument
at: at the head office; in the London branch

# office paperwork | train
who: the accountant; the new assistant; the legal team; the auditors+; {name}; {name} and {name}+
rel: joined the company in 2015; worked late every night; found the first mistake
how: carefully; slowly; quickly
do: check/go over/look through: the draft budget; every invoice from March; the sales figures+; the travel expenses+
do: sign/approve: the new contract; the rental agreement; three of the forms+
do: copy/duplicate: the old files+; the list of customers; the signed letters+
do: finish/complete: the annual report; the tax return; the summary of the meeting
do: correct/fix: the mistakes in the table+; the wrong address; the date on the cover
because: the bank needed an answer quickly; two numbers did not match; the deadline was only a few days away
because: the director wanted to see everything in writing
although: nobody had explained the rules; the computer was very slow; most of the pages were hard to read
so: the payment arrived on time; the director was pleased with the work; the office could close at noon
while: the phones were ringing; everyone else was at lunch
to: meet the deadline; answer the bank's questions; avoid a fine
at: in the back office; at the main desk
habit: every Monday; twice a week; at the end of each month

# hiring and training | dev
who: the human resources team; the owner of the company; the department heads+; {name}
rel: opened the second office; had little experience with large teams; believed in long training
how: quietly; gladly
do: hire/take on/recruit: six young engineers+; a part-time driver; an experienced designer; two students from the university+
do: train/teach: the new receptionists+; the night guards+; a small group of sellers
do: promote/move up: the assistant manager; the oldest member of the team; two of the clerks+
do: interview/talk to: eight people from the area+; a former teacher; the best candidates+
because: the company was growing quickly; there were too many orders; several workers had left in the summer
because: the old team needed help
although: money was short; the office was already crowded; few people had answered the advertisement
so: the workload became easier; the waiting time for customers fell; the team met its goals that year
while: the market was strong; the main building was being repaired
to: open a second shop; answer customers faster; replace the people who had retired
at: at the job fair; in the southern branch

# laboratory work | train
who: the chemist; the research team; two young scientists+; the lab assistant; {name}; {name} and {name}+
rel: designed the experiment; had studied metals for ten years; worked in the next room
how: carefully; patiently
do: test/try out/examine: the new vaccine; a cheaper battery; the water samples+; an unusual metal
do: measure/record: the temperature of the liquid; the weight of each sample; the acid levels+
do: repeat/redo: the whole experiment; the first three tests+; the last measurement
do: heat/warm: the clear liquid; a small piece of glass; the copper plates+
do: label/mark: the glass tubes+; every box in the freezer; the empty bottles+
because: the first results were surprising; another group had found a mistake; the equipment had not been cleaned properly
because: the numbers changed from day to day
although: the machine was old; most of the results were already clear; the work took almost a week
so: the article could be printed; the team had enough data for a report; the cause of the problem became clear
while: the main computer was broken; the other group was away
to: find the cause of the error; prove the theory; compare the two methods
at: in the new laboratory; at the university
habit: every morning; twice a day; once a week

# field research | dev
who: the biologists+; students from the local school+; the park rangers+; the old professor; {name}; {name} and {name}+
rel: had lived in the area for years; knew every path in the forest; wrote a book about wild birds
how: quietly; patiently; carefully
do: count/keep track of: the nests on the cliff+; the young seals+; the butterflies in the meadow+
do: study/observe/watch: the gray wolves+; a rare kind of frog; the birds on the lake+
do: collect/gather: soil from the river bank; fallen leaves+; the feathers near the shore+
do: film/record: a family of beavers; the eagles on the island+; the spring migration
do: draw/sketch: a map of the valley; the plants along the stream+; the tracks in the snow+
because: the number of animals had fallen; little was known about the area; a new road was planned nearby
because: the winter had been very warm
although: it rained almost every day; the insects were annoying; the path was steep and dangerous
so: the government agreed to protect the valley; the results were printed in a science magazine
so: many visitors became interested in the park
while: the river was low; the snow was melting
to: learn more about the animals; protect the forest; warn the local farmers
at: near the northern border; in the national park
habit: every spring; three times a year; before sunrise

# space and stars | train
who: the astronomers+; the engineers at the space center+; the pilot; a retired teacher; {name}
rel: built a telescope in the garden; had dreamed of space since childhood; slept only a few hours
how: carefully; eagerly
do: photograph/take pictures of: the small comet; the rings of Saturn+; a distant galaxy
do: watch/observe/follow: the solar eclipse; the landing of the probe; the first test flight
do: repair/mend/fix: the damaged antenna; the mirror of the telescope; one of the solar panels
do: launch/send up: a weather satellite; the small rocket; two balloons+
because: the sky was unusually clear; the signal had become weak; the old instruments gave poor pictures
because: such an event happens only once in ten years
although: the night was extremely cold; the budget was small; clouds were moving in from the west
so: the public could see the pictures the next day; the mission went on for another year; scientists learned more about the planet
while: most of the town was asleep; the wind was calm
to: test a new theory; improve the weather forecast; show the event to the public
at: at the observatory; from a field outside the town

# classroom | train
who: the teacher; the class assistant; the older pupils+; the head of the school; {name}; {name} and {name}+
rel: moved to the town last summer; spoke four languages; loved history
how: patiently; happily; quickly
do: explain/go through: the new grammar rule; the story of the Roman bridge; the results of the test+
do: correct/mark: the spelling exercises+; the homework; all of the essays+
do: read/read out: a short poem; the first chapter; two letters from the war+
do: prepare/plan: the science fair; the school play; a lesson about volcanoes
do: decorate/paint: the classroom walls+; the stage; the entrance hall
because: many children had found the topic difficult; the parents were coming in the evening; the next exam was only a week away
because: the younger children were interested in it
although: the room was noisy; there was little time before lunch; the heating was broken
so: everyone understood the topic better; the class stayed quiet; the parents were proud
while: the rain was beating on the windows; the other classes were outside
to: help the weaker children; make the lesson more interesting; get ready for the visit
at: in the library; in the big hall; on the first floor
habit: every Tuesday; after lunch; once a month

# university studies | test
who: the students+; my classmate; the librarian; the professor of history; {name}; {name} and {name}+
rel: came from a small village; wrote for the student newspaper; had failed the course before
how: carefully; quickly
do: borrow/take out: three heavy books+; an old map of the city; the only copy of the novel
do: rewrite/revise: the last chapter; the introduction; most of the footnotes+
do: discuss/talk about/debate: the causes of the war+; a famous painting; the ideas in the lecture+
do: hand in/submit/turn in: the final paper; the application; both of the essays+
because: the exam was next week; the first version had been weak; the professor had asked for more examples
because: the scholarship depended on it
although: the library was about to close; the topic was hard; there was a party next door
so: the grades were better than expected; the group passed the exam; the professor praised the effort
while: the campus was quiet; the other students were on vacation
to: get a better grade; pass the course; understand the subject
at: in the reading room; at the university library

# language course | train
who: the beginners+; the language school; a young couple+; our neighbor; {name}; {name} and {name}+
rel: wanted to work abroad; had never studied a language before; grew up in Brazil
how: slowly; patiently
do: learn/memorize: thirty new words+; a song in Italian; the irregular verbs+
do: practice/rehearse: the difficult sounds+; a short dialogue; everyday questions+
do: translate: a page of the menu; a letter from home; the safety instructions+
do: choose/pick: an easy textbook; the evening course; a good dictionary
because: the trip to Portugal was only a month away; the test had been too hard; a new job was waiting in Madrid
because: the teacher had advised it
although: the grammar was confusing; progress was slow; work left little free time
so: ordering food in a restaurant became easy; the conversation with the neighbors was more fun; the final test went well
while: the children were at school; the train was crossing the mountains
to: feel more confident; talk to the neighbors; pass the final test
at: in the evening class; at home
habit: every evening; on the bus; twice a week

# fixing software | train
who: the developers+; the new programmer; our test engineer; the support team; {name}; {name} and {name}+
rel: wrote the first version; had joined the team in April; worked from home
how: quickly; carefully; finally
do: fix/repair/sort out: a serious bug; the broken login page; the search function; two memory leaks+
do: rewrite/redo: the payment module; the oldest part of the program; the tests for the parser+
do: remove/delete/take out: the unused code; an annoying warning; the old settings page
do: find/discover/locate: the cause of the crash; a security hole; the missing files+
do: update/refresh: the online manual; the database; the list of supported phones
because: many users had complained; the program crashed every few hours; a customer had lost some data
because: the old version was too slow
although: the release was planned for the same day; nobody fully understood the code; it meant working through the weekend
so: the number of complaints fell quickly; the program started twice as fast; the customers were satisfied again
while: the main server was down; the rest of the team was asleep
to: make the program safer; keep the customers happy; prepare the next release
at: in the test system; during the night shift

# computer help | train
who: the technician; the help desk; my brother; the school's computer club; {name}; {name} and {name}+
rel: knew a lot about networks; repaired computers for a living; answered the phone at once
how: quickly; patiently; carefully
do: install/set up: the new printer; a faster router; the video software; twelve laptops+
do: replace/change/swap: the old keyboard; the hard disk; a damaged cable
do: save/rescue/recover: the family photos+; an important document; the deleted messages+
do: clean/wipe: the dusty fans+; the touch screen; the laptop
do: check/test: the wireless connection; the backup drive; every password
because: the computer kept making strange noises; the internet was often down; a virus had damaged the system
because: the old equipment was no longer safe
although: the warranty had ended; the instructions were in Japanese; the shop had said that it was impossible
so: everyone could work again before noon; no information was lost; the videos loaded without a break
while: the others were having lunch; the system was offline
to: speed up the network; protect the data; save money on new equipment
at: in the computer room; on the second floor

# shop | train
who: the shop owner; the young cashier; the store managers+; the night staff; {name}; {name} and {name}+
rel: had run the place for years; lived above the shop; knew most of the customers
how: quietly; quickly; neatly
do: lower/cut/reduce: the price of winter coats; the cost of delivery; all shoe prices+
do: order/send for: fifty boxes of tea+; a new freezer; more warm blankets+
do: move/shift: the fruit shelves+; the magazines+; the big mirror
do: count/add up: the money in the till; the unsold jackets+; the empty crates+
do: return/send back: the broken toys+; a box of bad apples; the faulty lamps+
because: sales had been poor since January; a big supermarket had opened nearby; the holiday season was about to start
because: several customers had complained
although: business was good; the street was closed to cars; the storeroom was almost full
so: more people came into the shop; there was enough space near the door; the regular customers were happy
while: the shop was closed; it was still dark outside
to: attract more customers; make room for new goods; earn a little more
at: in the main street; at the back of the shop
habit: every Saturday; before closing time; at the end of the week

# warehouse and parcels | train
who: the warehouse workers+; the delivery company; the driver; an online shop; {name}
rel: started work before dawn; had a new van; covered three villages
how: quickly; carefully; safely
do: deliver/drop off: the heavy parcels+; a birthday present; the missing chair; two bags of cement+
do: pack/wrap up: the fragile glasses+; each order; a set of kitchen knives
do: store/put away: the empty crates+; a box of medicine; the returned shoes+
do: load/fill: both trucks+; the last container; the small van
because: the sorting machine was broken; the orders had doubled before the holidays; the label was hard to read
because: the usual driver was ill
although: the roads were icy; two helpers were on vacation; the address was incomplete
so: the customers were surprised; the company changed its rules; the shelves were empty by noon
while: the storm was getting worse; the manager was on the phone
to: finish before the weekend; keep the promise on the website; make space for new goods
at: at the main warehouse; near the harbor

# bank and money | test
who: a young teacher; the young couple+; a retired nurse; the treasurer of the club; {name}; {name} and {name}+
rel: had saved for many years; owned a small bakery; was careful with money
how: carefully; finally; gladly
do: open/set up: a savings account; a joint account; an account for the children
do: pay back/repay: the car loan; the money for the roof; most of the debt
do: pay/settle: the rent for the garage; the school fees+; two large bills+
do: compare/weigh up: three different loans+; the interest rates+; the offers in the newspaper+
because: prices had gone up again; the old contract was too expensive; the adviser had recommended it
because: there was some money left at the end of the year
although: interest rates were low; the family income was small; the forms were long and confusing
so: the yearly costs went down; there was enough money for a vacation; the family slept better at night
while: the economy was weak; prices were falling
to: save for a house; have money for an emergency; plan the next ten years
at: at the local branch; over the phone
"""

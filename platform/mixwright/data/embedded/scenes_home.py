"""Scenes of private life: kitchens, homes, health, travel and sport.

What comes in: nothing. What goes out: `HOME`, read by grammar.py, which explains the notation.
"""

HOME = """
# home cooking | train
who: my grandmother; the two sisters+; our host; the children+; {name}; {name} and {name}+
rel: loved spicy food; had spent the day at the market; grew all the vegetables
how: slowly; carefully; happily
do: cook/prepare/make: a large pot of soup; rice with beans; a simple lamb stew
do: chop/cut up: six onions+; the fresh herbs+; a handful of nuts
do: taste/try: the tomato sauce; a spoonful of the curry; the first pancakes+
do: roast/bake: a whole chicken; two trays of potatoes+; some sweet peppers+
do: clean/wash: the big pan; the kitchen table; every plate in the sink
because: guests were coming at eight; the neighbors had brought a basket of vegetables; everyone was hungry after the walk
because: it was a family birthday
although: the oven was broken; nobody had asked for dinner; there was only a little butter left
so: the whole house smelled wonderful; there was enough food for everyone; dinner was ready before dark
while: music was playing on the radio; the others were setting the table
to: surprise the guests; use up the vegetables; celebrate the holiday
at: in the tiny kitchen; at home
habit: every Sunday; before the guests arrive; on cold evenings

# restaurant | test
who: the chef; the two waiters+; the owner of the café; the kitchen staff; {name}
rel: had trained in Lyon; opened the place last year; worked seven days a week
how: quickly; politely; proudly
do: change/update: the lunch menu; the wine list; the opening hours+
do: serve/bring out: the grilled fish; the cold dessert; forty plates of pasta+
do: taste/sample: the mushroom soup; a new kind of cheese; each sauce
do: buy/purchase: fresh eggs+; a bigger oven; local honey
do: prepare/make: a cold soup; the birthday menu; two new salads+
because: the summer season had started; the old supplier had closed; many guests asked for lighter meals
because: the reviews had been poor
although: the restaurant was almost full; the kitchen was short of staff; prices had gone up
so: the tables were booked for weeks; the guests left large tips; the evening was a success
while: a band was playing outside; the first guests were arriving
to: attract younger guests; save money; win back the regular customers
at: in the old town; at the corner restaurant
habit: every evening; on Fridays; before noon

# baking | dev
who: the baker; my aunt; the cooking class; the twins+; {name}; {name} and {name}+
rel: got up at four in the morning; wrote down every recipe; never measured anything
how: carefully; gently; slowly
do: bake/make: forty small rolls+; a lemon cake; two loaves of rye bread+; an apple pie
do: mix/stir: the flour and the sugar+; the melted chocolate; the sticky dough
do: cut/slice: the almond cake; the warm pizza; a tray of cookies
do: share/hand out: the warm bread; a secret recipe; the last slices+
because: the oven was new; the recipe was old and hard to read; the school fair was the next day
because: there was too much flour in the cupboard
although: the kitchen was hot; the scale was broken; nobody liked the recipe at first
so: the neighbors came to the door; nothing was left by the evening; the class talked about it for weeks
while: the radio was playing; the snow was falling outside
to: raise money for the school; try out the new oven; please the grandparents
at: in the village bakery; at the community center
habit: every weekend; at dawn; on holidays

# clinic | train
who: the doctor; the two nurses+; a young dentist; the eye specialist; {name}
rel: had worked there since 2008; spoke very calmly; was known for long working hours
how: carefully; gently; quickly
do: examine/check/look at: the boy's knee; an old man with a cough; the injured players+
do: treat/care for: a deep cut; a child with a fever; several burns+
do: order/ask for: a blood test; two more tests+; an X-ray
do: explain/go over: the side effects+; the new diet; the results of the scan+
do: change/adjust: the bandage; the daily dose; the appointment
because: the pain had become worse; the first medicine had not helped; the patient was worried about the weekend
because: the wound was slow to heal
although: the waiting room was full; the clinic was about to close; there were no clear signs of illness
so: the patient felt better within days; nobody had to go to the hospital; the family was relieved
while: the phone was ringing; the parents were waiting outside
to: find the cause of the pain; calm the patient; rule out a serious illness
at: at the health center; in the emergency room
habit: every morning; twice a week; before lunch

# healthy habits | train
who: my uncle; the retired couple+; our neighbor; the office workers+; {name}; {name} and {name}+
rel: used to smoke; had gained a lot of weight; turned sixty in June
how: slowly; gladly; finally
do: give up/quit/stop eating: fried food; late snacks+; sugary drinks+
do: start/begin/take up: a yoga course; a new diet; daily walks in the park+
do: keep/write: a food diary; a list of daily exercises; a record of every meal
do: eat/have: a piece of fruit; more vegetables+; a smaller breakfast
because: the doctor had advised it; the stairs had become too hard; sleep was poor and short; a friend had fallen ill
although: the first weeks were hard; the weather was bad; friends made jokes about it
so: the headaches disappeared; walking uphill became easy; the next checkup went well
while: the family was on vacation; work was quiet
to: lose weight; sleep better; feel stronger in the winter
at: at home; after work
habit: every day; three times a week; in the morning

# booking a trip | train
who: the travel agent; my parents+; the school group; our cousins+; {name}; {name} and {name}+
rel: had never flown before; wanted to see the ocean; planned everything months ahead
how: quickly; finally
do: book/reserve: a small cabin; three seats by the window+; a tour of the castle; the night train
do: cancel/call off: the hotel room; the boat trip; both flights+
do: change/alter: the travel dates+; the route through the mountains; the return ticket
do: buy/purchase/get: a guidebook; two rail passes+; travel insurance
do: plan/organize: a week in Norway; a cheap city break; a bicycle tour
because: the airline had offered a better price; the school holidays had been moved; the weather forecast was poor
because: the children were afraid of flying
although: the passport had expired; the prices were high; there was still snow in the mountains
so: the vacation cost less than expected; everyone had to pack quickly; the family spent more time at the beach
while: prices were low; the website was working
to: save money; visit old friends; escape the cold weather
at: at the travel office; over the internet

# trains and airports | dev
who: the passengers+; a young soldier; a tired family; two tourists+; {name}; {name} and {name}+
rel: was on the way to Vienna; carried three heavy bags; had missed the connection
do: miss/fail to catch: the last train; the flight to Rome; the ferry
do: mix up/confuse: the two platforms+; the arrival times+; the gate numbers+
do: forget/leave behind: a black suitcase; the tickets on the bench+; two umbrellas+
do: lose/misplace: the boarding passes+; a small backpack; the keys to the car+
do: misread/misunderstand: the timetable; the departure board; the message on the screen
because: the signs were confusing; the bus from the hotel was late; a storm had closed the runway
because: the announcement was hard to hear
although: the staff had given clear directions; there were only a few people at the station; the journey had started early
so: the trip took three hours longer; the rest of the group had to wait; the afternoon began with bad news
while: the doors were closing; the others were buying coffee
at: at the central station; in the main hall; at the airport

# hotel | test
who: the receptionist; the hotel manager; the cleaning staff; the guests in room 12+; {name}; {name} and {name}+
rel: arrived late at night; had stayed there before; spoke little English
how: politely; quietly; quickly
do: clean/tidy: the rooms on the top floor+; the breakfast area; the swimming pool
do: move/carry: the luggage; an extra bed; the old piano
do: lock/close: the side entrance; the garden gate; every window on the ground floor
do: repair/fix: the noisy air conditioner; the shower; the broken elevator
do: report/point out: a strange smell; a broken window; the loud music
because: an important group was expected; someone had complained about the noise; the storm was coming closer
because: the last inspection had gone badly
although: it was almost midnight; most of the rooms were empty; the manager had promised a quiet week
so: the guests could sleep well; the hotel got better reviews; the problem did not come back
while: the other guests were at dinner; it was raining hard
to: avoid more complaints; keep the guests safe; prepare for the weekend
at: at the Hotel Miramar; on the third floor

# house repairs | train
who: the plumber; the owners of the house+; my father; two carpenters+; {name}; {name} and {name}+
rel: learned the trade in Poland; lived in the house next door; charged a fair price
how: carefully; quickly; neatly
do: repair/fix/mend: the leaking roof; the kitchen pipes+; a crack in the wall; the front steps+
do: paint/repaint: the bedroom ceiling; the garden fence; all of the doors+
do: replace/change: the old boiler; six windows+; the bathroom floor
do: build/put up/make: a wooden shelf; a wall around the garden; a shed for the bicycles
do: measure/check: the width of the hall; the height of the stairs; the walls+
because: water was coming into the house; winter was only weeks away; the old paint was coming off
because: the family was about to sell the house
although: the tools were old; it rained all weekend; the first estimate had been too high
so: the family was delighted; the house looked almost new; the neighbors asked for the same work
while: the family was staying with friends; the weather was dry
to: keep the house warm; make the rooms brighter; raise the value of the house
at: in the old farmhouse; on the upper floor

# moving house | train
who: the moving company; my sister; the new tenants+; the students in the flat+; {name}; {name} and {name}+
rel: came from the other end of the country; had found a job in the city; hated packing
how: slowly; carefully; quickly
do: pack/wrap: forty boxes of books+; the wine glasses+; the winter clothes+
do: sell/give away: the old sofa; a broken lamp; most of the furniture
do: rent/hire: a large van; a storage room; an apartment near the park
do: carry/lift: the washing machine; the heavy wardrobe; both mattresses+
do: clean/sweep: the empty rooms+; the balcony; the cellar
because: the contract ended in June; the new place was much smaller; the landlord wanted to sell the building
because: a second baby was on the way
although: the elevator was broken; there were only two helpers; it was the hottest day of the year
so: everything was finished by the evening; the deposit was paid back in full; everyone slept well that night
while: the neighbors were watching; the rain was pouring down
to: save money; leave everything in order; be ready before the weekend
at: on Mill Street; in the third-floor apartment

# garden | dev
who: the gardener; my grandparents+; the garden club; our neighbors+; {name}; {name} and {name}+
rel: grew up on a farm; knew the name of every plant; won a prize for roses
how: patiently; carefully
do: plant/put in: two apple trees+; a row of tulips; sunflowers along the path+
do: water/look after: the young tomatoes+; the dry lawn; the flower beds+
do: cut/trim: the tall hedge; the roses+; the lower branches+
do: pick/gather: the ripe cherries+; a basket of beans; the last pumpkins+
do: dig up/pull out: the weeds+; a dead bush; the old potatoes+
because: the ground was finally soft; the spring had been very dry; a heavy frost was expected
because: the plants had grown too close together
although: the soil was poor; the tools were rusty; it was still cold in the mornings
so: the garden was full of color; the harvest was better than ever; there was fruit for the whole street
while: the birds were singing; the children were playing on the swing
to: attract bees and butterflies; have fresh vegetables; protect the plants from the cold
at: behind the house; in the school garden
habit: every evening; in early spring; on weekends

# family party | train
who: my cousins+; the whole family; my best friend; the grandparents+; {name}; {name} and {name}+
rel: lived far away; loved loud music; arrived with a huge cake
how: secretly; happily; quickly
do: organize/plan/arrange: a surprise party; the silver wedding; a picnic by the lake
do: decorate: the living room; the long table; the old barn
do: invite/ask: all the neighbors+; an old school friend; thirty people+
do: write/compose: a funny speech; forty invitations+; a song for the couple
do: hide/put away: the presents+; the chocolate cake; the birthday card
because: the baby was one year old; the couple had been married for twenty-five years; everyone had worked hard all year
because: a friend was moving abroad
although: there was little time to prepare; the weather looked bad; half of the family had the flu
so: the celebration lasted until dawn; everyone went home happy; many people cried with joy
while: the parents were at work; the guests were arriving
to: say thank you; make the day special; bring everyone together
at: in the garden; at the village hall

# football training | train
who: the coach; the young players+; the team captain; the goalkeeper; {name}; {name} and {name}+
rel: had been injured in spring; played for the national team; came from a small club
how: hard; carefully; angrily
do: practice/rehearse: the corner kicks+; a new defense; long passes+
do: watch/study: a video of the last match; the other team's goals+; the final on television
do: lead/run: the morning training; the warm-up; a short meeting
do: change/adjust: the starting lineup; the training plan; the team's tactics+
because: the last game had gone badly; the next match was against the champions; several players were tired; the field was frozen
although: the season was almost over; the stars of the team were away; the weather was terrible
so: the team played much better on Sunday; nobody was nervous any longer; the fans had something to talk about
while: the stadium was being repaired; the rest of the league had a break
to: win the next match; avoid more injuries; build up confidence
at: at the city stadium; on the old field
habit: every Thursday; before each match; twice a week

# running club | train
who: the running club; the organizers+; a group of beginners; the fastest runner; {name}; {name} and {name}+
rel: finished third last year; trained in the mountains; only began running in March
how: proudly; slowly
do: plan/map out: a ten-mile race; the route along the river; a relay for schools
do: run/complete: the city marathon; the first half of the race; three laps of the park+
do: hand out/distribute: water bottles+; the start numbers+; warm drinks+
do: buy/get: lighter shoes+; a new stopwatch; rain jackets for the team+
because: the old route was too dangerous; more than two hundred people had signed up; the big race was only a month away
because: the local hospital needed money
although: the temperature was below zero; many streets were closed; few members had run so far before
so: the club gained forty new members; the newspaper wrote about it; the hospital received a large gift
while: the streets were empty; the sun was rising
to: raise money for the hospital; prepare for the big race; attract new members
at: in the city park; along the coast

# hiking and camping | train
who: the hikers+; our guide; the scout group; my two friends+; {name}; {name} and {name}+
rel: had climbed the mountain before; carried the tent; forgot the map at home
how: slowly; safely; finally
do: reach/get to: the mountain hut; the top of the hill; the small lake
do: put up/set up: a large tent; the camp near the stream; a shelter of branches
do: follow/take: the narrow path; the signs along the ridge+; a shortcut through the woods
do: cross/get across: the cold river; the wooden bridge; a field of deep snow
do: light/start: a small fire; the gas stove; two lanterns+
because: a storm was coming; the group was cold and tired; the main path was blocked; it was getting dark quickly
although: the bags were heavy; the map was out of date; a warning sign stood by the road
so: everyone was safe before dark; the group could rest for an hour; nobody got lost
while: the fog was lifting; the others were still asleep
to: get out of the wind; dry the wet clothes; enjoy the view
at: in the Blue Hills; near the border
"""

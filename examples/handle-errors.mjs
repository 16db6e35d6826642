/** Decides by the code of an error: messages are for people, codes stay what they are. */
import { copy, TransferError } from 'blockferry';

const [source = '', target = ''] = process.argv.slice(2);
try {
  await copy({ source, target }).result;
  console.log('copied');
} catch (error) {
  if (!(error instanceof TransferError)) throw error;
  if (error.code === 'E_TARGET_EXISTS') console.log('there already, nothing to do');
  else if (error.code === 'E_SOURCE_MISSING') console.log('the source is not there');
  else if (error.code === 'E_NO_SPACE') console.log('no room; free some and run this again, nothing was lost');
  else console.log(`${error.code}: ${error.message}. ${error.hint ?? ''}`);
}
